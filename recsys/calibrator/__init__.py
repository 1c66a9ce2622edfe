"""calibrator."""
