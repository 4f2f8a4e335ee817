"""Export as TFLite files, float32 and full-integer int8."""
