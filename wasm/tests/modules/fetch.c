/* Sends GET / to the host of its first argument and prints how that went. It speaks the lowered
   form of wasi:http by hand, so that no generator is needed. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FROM(module, name) __attribute__((import_module(module), import_name(name)))
#define TYPES "wasi:http/types@0.2.0"

FROM(TYPES, "[constructor]fields") int fields(void);
FROM(TYPES, "[constructor]outgoing-request") int request(int fields);
FROM(TYPES, "[method]outgoing-request.set-scheme") int set_scheme(int, int, int, const char *, int);
FROM(TYPES, "[method]outgoing-request.set-authority") int set_authority(int, int, const char *, int);
FROM(TYPES, "[method]outgoing-request.set-path-with-query") int set_path(int, int, const char *, int);
FROM("wasi:http/outgoing-handler@0.2.0", "handle") void handle(int, int, int, void *);
FROM(TYPES, "[method]future-incoming-response.subscribe") int subscribe(int);
FROM(TYPES, "[method]future-incoming-response.get") void get(int, void *);
FROM(TYPES, "[method]incoming-response.status") int status(int);
FROM("wasi:io/poll@0.2.0", "[method]pollable.block") void block(int);

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t size, size_t align, size_t wanted) {
    (void)size;
    (void)align;
    return realloc(old, wanted);
}

int main(int argc, char **argv) {
    const char *host = argc > 1 ? argv[1] : "localhost";
    int asked = request(fields());
    set_scheme(asked, 1, 0, NULL, 0);
    set_authority(asked, 1, host, (int)strlen(host));
    set_path(asked, 1, "/", 1);
    _Alignas(8) uint8_t answer[256] = {0};
    handle(asked, 0, 0, answer);
    if (answer[0]) {
        printf("refused %d\n", answer[8]);
        return 1;
    }
    int coming = *(int *)(answer + 8);
    block(subscribe(coming));
    memset(answer, 0, sizeof answer);
    get(coming, answer);
    if (!answer[0] || answer[8] || answer[16]) {
        printf("error %d\n", answer[24]);
        return 1;
    }
    printf("status %d\n", status(*(int *)(answer + 24)));
    return 0;
}
