"""What each stage does, one file a stage; `pipelines.plan` has what it stands on."""
