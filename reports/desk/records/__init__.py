"""What people enter at the desk: accounts, the journal, decisions, photos, and the database they lie in."""
