"""Property tests try the same examples on every run, however busy the machine is. Others: `pytest --hypothesis-profile thorough`."""

from hypothesis import settings

settings.register_profile("seawall", deadline=None, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=3000)
settings.load_profile("seawall")
