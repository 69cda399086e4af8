"""What every training shares: the trainer, its batches, checkpoints, log and folder."""
