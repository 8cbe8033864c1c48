"""Programs of other makers that tests run: installed once, at the versions that the tests name."""
