"""What was done on a field and when: mowing, ploughing, cover, harvest, from series; and their scoring."""
