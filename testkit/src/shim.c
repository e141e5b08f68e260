/* Makes system calls on certain files fail (LD_PRELOAD), for rows about disks.
 *
 * While the file SHIM_FAIL_IF exists, calls of the kinds in SHIM_CALLS (read, write, sync; separated by commas) on files whose path
 * contains SHIM_PATH fail with the error SHIM_ERRNO.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int fails(int fd, const char *call) {
    const char *flag = getenv("SHIM_FAIL_IF"), *calls = getenv("SHIM_CALLS"), *path = getenv("SHIM_PATH");
    const char *error = getenv("SHIM_ERRNO");
    if (!flag || !calls || !path || !error || !strstr(calls, call) || access(flag, F_OK) != 0) return 0;
    char link[64], target[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (length < 0) return 0;
    target[length] = 0;
    if (!strstr(target, path)) return 0;
    errno = atoi(error);
    return 1;
}

#define SHIM(result, name, kind, parameters, arguments)                                                                \
    result name parameters {                                                                                           \
        static result(*system) parameters;                                                                             \
        if (!system) system = (result(*) parameters)dlsym(RTLD_NEXT, #name);                                           \
        return fails(fd, kind) ? -1 : system arguments;                                                                \
    }

SHIM(ssize_t, read, "read", (int fd, void *to, size_t size), (fd, to, size))
SHIM(ssize_t, pread, "read", (int fd, void *to, size_t size, off_t at), (fd, to, size, at))
SHIM(ssize_t, pread64, "read", (int fd, void *to, size_t size, off64_t at), (fd, to, size, at))
SHIM(ssize_t, write, "write", (int fd, const void *from, size_t size), (fd, from, size))
SHIM(ssize_t, pwrite, "write", (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))
SHIM(ssize_t, pwrite64, "write", (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at))
SHIM(int, ftruncate, "write", (int fd, off_t size), (fd, size))
SHIM(int, ftruncate64, "write", (int fd, off64_t size), (fd, size))
SHIM(int, fsync, "sync", (int fd), (fd))
SHIM(int, fdatasync, "sync", (int fd), (fd))
