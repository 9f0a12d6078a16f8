"""The sample API `tallyport/echo`: one file of the standard library, shipped with the package."""
