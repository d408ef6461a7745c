"""What an auditor checks: the log, the manifest, people's journals, and whether a folder is as they say."""
