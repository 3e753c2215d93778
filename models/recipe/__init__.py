"""The recipe that makes a moodline artifact: data, training, calibration, export, card.

Run as `python -m models.recipe STEP --config models/configs/base.yaml`; see models/README.md.
"""
