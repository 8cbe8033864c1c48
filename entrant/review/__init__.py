"""What a change means: who gains or loses which access, which credentials change, what breaks."""
