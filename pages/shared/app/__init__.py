"""What every page needs: the frame, the session, jobs, rights."""
