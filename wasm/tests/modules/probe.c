/* One program for many tests: its first argument says what it does. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int show(int argc, char **argv) {
    for (int i = 0; i < argc; i++) printf("arg %s\n", argv[i]);
    for (char **e = environ; e && *e; e++) printf("env %s\n", *e);
    char buffer[4096];
    size_t n, all = 0;
    while ((n = fread(buffer, 1, sizeof buffer, stdin)) > 0) all += n;
    printf("stdin %zu\n", all);
    fprintf(stderr, "a word on stderr\n");
    return 0;
}

static void tried(const char *what, int failed) {
    printf("%s: %s\n", what, failed ? "refused" : "DONE");
}

static void opened(const char *path, int flags) {
    int fd = open(path, flags, 0600);
    char what[300];
    snprintf(what, sizeof what, "open %s", path);
    tried(what, fd < 0);
    if (fd >= 0) close(fd);
}

/* Ways out of /data. */
static int escape(void) {
    const char *paths[] = {"/data/../secret", "/data/sub/../../secret", "/data/link", "/data/absolute",
                           "/data/up/secret", "../secret", "/etc/passwd", "/", "/data/..",
                           "/data//../secret", "/data/./../secret", "/proc/self/environ"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) opened(paths[i], O_RDONLY);
    tried("rename out", rename("/data/file", "/data/../taken"));
    tried("rename in", rename("/data/../secret", "/data/taken"));
    tried("hard link in", link("/data/../secret", "/data/hard"));
    tried("hard link through a link", link("/data/up/secret", "/data/hard"));
    tried("unlink out", unlink("/data/../secret"));
    tried("mkdir out", mkdir("/data/../made", 0700));
    if (symlink("/etc/passwd", "/data/made-link") == 0) opened("/data/made-link", O_RDONLY);
    if (symlink("../secret", "/data/made-up") == 0) opened("/data/made-up", O_RDONLY);
    return 0;
}

/* Changes in a folder that may only be read. */
static int change(void) {
    opened("/data/new", O_WRONLY | O_CREAT);
    opened("/data/file", O_WRONLY);
    opened("/data/file", O_RDWR);
    opened("/data/file", O_RDONLY | O_TRUNC);
    tried("truncate", truncate("/data/file", 0));
    tried("unlink", unlink("/data/file"));
    tried("rename", rename("/data/file", "/data/other"));
    tried("mkdir", mkdir("/data/made", 0700));
    tried("rmdir", rmdir("/data/sub"));
    tried("hard link", link("/data/file", "/data/hard"));
    tried("symlink", symlink("file", "/data/soft"));
    tried("times", utimensat(AT_FDCWD, "/data/file", NULL, 0));
    int fd = open("/data/file", O_RDONLY);
    tried("read", fd < 0);
    tried("ftruncate", ftruncate(fd, 0));
    tried("write", write(fd, "x", 1) != 1);
    return 0;
}

static int eat(void) {
    for (;;) {
        char *p = malloc(1 << 20);
        if (p) memset(p, 1, 1 << 20);
    }
}

__attribute__((noinline)) static int deep(int n) {
    volatile char room[64];
    room[n & 63] = (char)n;
    return deep(n + 1) + room[n & 63];
}

static int storm(void) {
    struct timespec at;
    for (;;) clock_gettime(CLOCK_MONOTONIC, &at);
}

static int shout(void) {
    for (;;) puts("and again and again and again and again and again and again");
}

static int rest(void) {
    for (;;) sleep(1000000);
}

static int sum(void) {
    double all = 0, one;
    int n = 0;
    while (scanf("%lf", &one) == 1) { all += one; n++; }
    printf("{\"n\": %d, \"sum\": %.0f}\n", n, all);
    return 0;
}

static int chance(void) {
    static char much[64 << 20];
    size_t done = 0;
    while (done < sizeof much) {
        if (getentropy(much + done, 256)) return 1;
        done += 1 << 18;
    }
    return 0;
}

static int save(void) {
    FILE *file = fopen("/data/made-here", "w");
    if (!file) return 1;
    fputs("by the module\n", file);
    return fclose(file);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "show";
    if (!strcmp(what, "show")) return show(argc, argv);
    if (!strcmp(what, "exit")) return atoi(argv[2]);
    if (!strcmp(what, "escape")) return escape();
    if (!strcmp(what, "change")) return change();
    if (!strcmp(what, "spin")) for (volatile int i = 0;; i++);
    if (!strcmp(what, "eat")) return eat();
    if (!strcmp(what, "deep")) return deep(0);
    if (!strcmp(what, "storm")) return storm();
    if (!strcmp(what, "shout")) return shout();
    if (!strcmp(what, "rest")) return rest();
    if (!strcmp(what, "sum")) return sum();
    if (!strcmp(what, "chance")) return chance();
    if (!strcmp(what, "save")) return save();
    if (!strcmp(what, "abort")) abort();
    return 64;
}
