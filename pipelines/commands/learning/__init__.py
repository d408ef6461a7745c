"""Commands that fit, search or apply models outside the main job."""
