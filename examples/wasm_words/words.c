/* Reads words, one or more a line, and prints how often each occurs: the count, a tab, the word,
   sorted by the word in the order of its bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct word {
    struct word *next;
    unsigned long n;
    char text[];
};

#define SLOTS (1u << 16)
static struct word *slots[SLOTS];
static size_t n_words;

static unsigned hash(const char *text) {
    unsigned h = 2166136261u;
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 16777619u;
    return h % SLOTS;
}

static void count(const char *text) {
    struct word **slot = &slots[hash(text)];
    for (struct word *word = *slot; word; word = word->next)
        if (!strcmp(word->text, text)) {
            word->n++;
            return;
        }
    size_t size = strlen(text) + 1;
    struct word *word = malloc(sizeof *word + size);
    if (!word) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    memcpy(word->text, text, size);
    word->n = 1;
    word->next = *slot;
    *slot = word;
    n_words++;
}

static int by_text(const void *a, const void *b) {
    return strcmp((*(struct word *const *)a)->text, (*(struct word *const *)b)->text);
}

int main(void) {
    static char text[1 << 16];
    while (scanf("%65535s", text) == 1) count(text);
    struct word **all = malloc(n_words * sizeof *all + 1);
    size_t n = 0;
    for (unsigned at = 0; all && at < SLOTS; at++)
        for (struct word *word = slots[at]; word; word = word->next) all[n++] = word;
    qsort(all, n, sizeof *all, by_text);
    for (size_t at = 0; at < n; at++) printf("%lu\t%s\n", all[at]->n, all[at]->text);
    return ferror(stdout) != 0;
}
