"""One file for each known problem: article, facts, check, fix."""
