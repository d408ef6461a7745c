"""What each stage stands on, one file a stage; what does the work is imported where a stage runs."""
