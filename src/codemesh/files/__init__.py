"""The one room that opens the files in which credentials lie.

Its rules:

* Below this room are the error tree and the standard library, nothing else.
* A file is private or it is refused: regular, ours alone, mode 0600, in a folder
  that nobody else can write. Nothing is tightened silently while reading.
* Whoever writes holds the lock of that file. Readers need none, because a file only
  ever changes by a rename.
* Content is replaced, never edited: new file, flush, rename, flush of the folder.
  Whatever goes wrong before the rename leaves the old content and no debris.
* Names are looked up relative to a folder that was opened and checked, so that
  nobody can exchange the folder in between.
* Only errors of codemesh leave the room. They name the path and the cause, and
  never show a byte of content.
* Paths are `str`, and modules that are slow to import are imported where they are
  used: this is on the way of every `auth token` at a shell prompt.

`private` reads and replaces one file, `folder` checks and makes the folder of it,
`lock` keeps other writers away, `problem` holds the rules of what is unsafe.
`_posix` and `_windows` know the same things about their platform under the same
names; `_system` is the one place that chooses.
"""
