"""Binary outcomes of an impression: shared by click and purchase."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.tables import IMPRESSIONS
from recsys.target._target import Target, count_observations


class Outcome(Target):
    """0 or 1 per impression, read from the log's column of the same name, or from judgments of this target."""

    def exposed(self, impressions: pa.Table) -> pa.Table:
        """The impressions at which the outcome could happen."""
        return impressions

    def observe(self, judgments: pa.Table, impressions: pa.Table) -> pa.Table:
        judged = judgments.filter(pc.equal(judgments["target"], self.name))
        if judged.num_rows:
            return count_observations(judged, self.name)
        further = [n for n in impressions.column_names if n not in IMPRESSIONS.names]
        shown = self.exposed(impressions).select(["query_id", "item_id", self.name, *further])
        return count_observations(shown.rename_columns(["query_id", "item_id", "label", *further]), self.name)

    def positive(self, label_N: np.ndarray) -> np.ndarray:
        return label_N > 0

    def gain(self, label_N: np.ndarray) -> np.ndarray:
        return np.asarray(label_N, np.float64)

    def unit(self, label_N: np.ndarray) -> np.ndarray:
        return np.asarray(label_N, np.float64)

    def outside(self, label_N: np.ndarray) -> np.ndarray:
        return ~np.isin(label_N, (0.0, 1.0))
