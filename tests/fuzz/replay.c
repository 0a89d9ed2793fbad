/* replay.c - run a fuzz target once over files, without a fuzzer.
 *
 * Why      What a fuzzer found once must stay mended: `make test` gives each target its whole
 *          corpus, and besides each input cut short and with one byte changed, since a plain
 *          compiler and a sanitizer are all that needs.
 * Usage    fuzz_NAME FILE|FOLDER...; a folder that is missing counts as empty. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Give the target exactly `n` bytes in memory of their own, so that a sanitizer sees a read
 * past the end. */
static void run_bytes(const uint8_t *p, size_t n)
{
    uint8_t *exact = malloc(n ? n : 1);

    if (!exact)
        abort();
    if (n > 0)
        memcpy(exact, p, n);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
}

static void run_variants(uint8_t *p, size_t n)
{
    size_t step = n / 64 + 1;

    run_bytes(p, n);
    for (size_t i = 0; i < n; i += step) {
        run_bytes(p, i);
        p[i] ^= 0xff;
        run_bytes(p, n);
        p[i] ^= 0xff;
    }
}

/* 0, or -errno if the file cannot be read. */
static int run_file(const char *path)
{
    enum { MOST = 1 << 20 };
    FILE *f = fopen(path, "rb");
    uint8_t *p;
    size_t n;
    int r = 0;

    if (!f)
        return -errno;
    p = malloc(MOST);
    if (!p)
        abort();
    n = fread(p, 1, MOST, f);
    if (ferror(f))
        r = -EIO;
    else
        run_variants(p, n);
    free(p);
    fclose(f);
    return r;
}

/* Run each file of a folder; -errno if one cannot be read. */
static int run_folder(DIR *d, const char *path, int *ret_files)
{
    char name[PATH_MAX];
    struct dirent *e;
    int r = 0;

    while (r == 0 && (e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        r = run_file(name);
        (*ret_files)++;
    }
    return r;
}

int main(int argc, char **argv)
{
    int files = 0;

    run_bytes(NULL, 0);
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        int r;

        if (d) {
            r = run_folder(d, argv[i], &files);
            closedir(d);
        } else if (errno == ENOENT) {
            r = 0;
        } else {
            r = run_file(argv[i]);
            files++;
        }
        if (r < 0) {
            fprintf(stderr, "%s: %s\n", argv[i], strerror(-r));
            return EXIT_FAILURE;
        }
    }
    printf("%d files\n", files);
    return EXIT_SUCCESS;
}
