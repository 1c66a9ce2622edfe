"""One module per verb: `python -m ray_jobs.<verb>`. No logic here."""
