# Of each unicorn: lastcall runs several. No listen: the socket is passed.
worker_processes 1
