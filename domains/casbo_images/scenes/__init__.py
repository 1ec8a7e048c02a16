"""The small world that the shipped text-to-image model draws: scenes, pictures, captions, a detector."""
