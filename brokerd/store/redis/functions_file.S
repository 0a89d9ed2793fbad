/* The bytes of functions.lua. */
    .section .rodata
    .globl redis_functions
    .hidden redis_functions
    .globl redis_functions_end
    .hidden redis_functions_end
redis_functions:
    .incbin "brokerd/store/redis/functions.lua"
redis_functions_end:

    .section .note.GNU-stack,"",%progbits
