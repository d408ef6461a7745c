"""QUAP: tables of a quality assessment as the Commission's platform takes them: read, checked, written."""
