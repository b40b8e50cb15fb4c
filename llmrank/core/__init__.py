"""What knows no model: errors, progress, declared fields, files, rights, jobs."""
