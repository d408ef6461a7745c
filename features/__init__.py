"""From declarations and imagery to tensors; nothing here learns."""
