"""The models: DRAW (`draw.py`) and the pure parts that it is made of."""
