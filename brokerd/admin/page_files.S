/* The bytes of the dashboard's files: page_NAME to page_NAME_end. */
#include "brokerd/admin/page_files.h"

/* clang-format off */
#define FILE(symbol, path, type) \
    .globl page_##symbol; \
    .hidden page_##symbol; \
    .globl page_##symbol##_end; \
    .hidden page_##symbol##_end; \
    page_##symbol: .incbin path; \
    page_##symbol##_end:

    .section .rodata
PAGE_FILES

    .section .note.GNU-stack,"",%progbits
