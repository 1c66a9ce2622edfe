import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from recsys.model._tokenizer import train_tokenizer
from recsys.model._word_vectors import word_vectors
from tests.model import tiny


def test_same_cosines_as_scikit_learn() -> None:
    texts = sorted(set(tiny.texts(60, longest=6, seed=11)))
    tokenizer = train_tokenizer([*texts, *(f"{t} !" for t in texts)], vocabulary_size=300)
    vector_VD = word_vectors(tokenizer, texts, size=6)
    count = TfidfVectorizer(token_pattern=r"\w+", use_idf=False, norm=None, sublinear_tf=True)  # type: ignore[arg-type]
    weight_UW = count.fit_transform(texts).toarray()
    frequency_W = (weight_UW > 0).sum(0)
    weight_UW *= np.log1p((len(texts) - frequency_W + 0.5) / (frequency_W + 0.5))
    weight_UW /= np.linalg.norm(weight_UW, axis=1, keepdims=True)
    svd = TruncatedSVD(6, algorithm="arpack").fit(weight_UW)
    expected_WD = np.asarray(svd.components_).T * np.sqrt(svd.singular_values_)
    expected_WD /= np.linalg.norm(expected_WD, axis=1, keepdims=True)
    found_WD = vector_VD[tokenizer.convert_tokens_to_ids(list(count.get_feature_names_out()))]
    np.testing.assert_allclose(found_WD @ found_WD.T, expected_WD @ expected_WD.T, atol=1e-6)
    assert np.count_nonzero(np.linalg.norm(vector_VD, axis=1)) == len(found_WD)


def test_more_dimensions_than_texts() -> None:
    tokenizer = train_tokenizer(["red shoe", "red shoe !", "blue"], vocabulary_size=300)
    vector_VD = word_vectors(tokenizer, ["red shoe", "blue"], size=16)
    assert vector_VD.shape == (len(tokenizer), 16)
    assert np.isfinite(vector_VD).all()
