"""From a folder of files to a manifest, a split and a resample plan."""
