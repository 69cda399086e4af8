"""What reports say, learnt before the joint training: the adapter reads, and the U-Net expects."""
