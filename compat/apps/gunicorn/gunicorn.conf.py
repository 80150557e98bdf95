"""gunicorn reads this file by itself. It is passed the socket: there is no bind."""
worker_class = "gthread"
workers = 1  # of each gunicorn: lastcall runs several
threads = 4
