"""Who knows everyone: settings, wiring, processes, embedded servers."""
