"""The stages of dvc.yaml, one file per stage, and how a stage is run; no maths here."""
