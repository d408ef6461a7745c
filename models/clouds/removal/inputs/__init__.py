"""What the cloud-removal networks read: windows, channels, radar and haze."""
