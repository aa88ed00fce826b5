"""What pages say, worked out from model values. Pure."""
