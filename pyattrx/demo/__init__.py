"""Real pretrained networks and real photos, from ordinary packages and without a download."""
