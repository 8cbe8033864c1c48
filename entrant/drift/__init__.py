"""What happened in the cloud besides the last deployment: manual changes, what nobody declared, what ends soon."""
