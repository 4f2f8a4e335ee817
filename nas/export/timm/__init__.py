"""Export as a folder that timm loads."""
