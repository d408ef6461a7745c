"""The three pages: officer, analyst and auditor."""
