"""Names of files: how they are shown, and which are not a part of any set."""

__all__ = ["is_hidden", "shown"]

# Of macOS, Windows, Synology and QNAP, Picasa and Android; names in lower case.
_SIDE_FILES = {
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "folder.ini", "icon\r"),
    *("picasa.ini", "zbthumbnail.info"),
}
_SIDE_FOLDERS = {
    *("__macosx", "$recycle.bin", "system volume information", "lost+found", "@eadir"),
    *("#recycle", "#snapshot", "__pycache__"),
}


def shown(name: str) -> str:
    """A name without what a terminal would obey."""
    return name if name.isprintable() else ascii(name)


def is_hidden(name: str) -> bool:
    """Whether a file is hidden, or is what systems leave in folders, not a part of the set."""
    *folders, file = name.lower().split("/")
    return (
        any(part.startswith(".") for part in (*folders, file))
        or file in _SIDE_FILES
        or not _SIDE_FOLDERS.isdisjoint(folders)
    )
