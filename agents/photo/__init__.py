"""What can be known of a photo without a model: its bytes, its picture."""
