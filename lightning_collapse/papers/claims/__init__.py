"""Published claims, one a file, which has a `CLAIM`; a file added here is a claim added."""
