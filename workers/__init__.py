"""What runs by itself: relay, projection runner, provisioner, process managers."""
