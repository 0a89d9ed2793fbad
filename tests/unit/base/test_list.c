/* A list keeps its order and lets go of a node from anywhere. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbroker/base/list.h"

struct item {
    char name;
    struct list_node link;
};

/* The names in order, and the same read backwards to check both links. */
static const char *names(const struct list *l)
{
    static char text[16];
    size_t n = 0, back;

    for (struct list_node *i = list_first(l); i; i = list_next(l, i))
        text[n++] = LIST_ITEM(i, struct item, link)->name;
    text[n] = '\0';
    back = n;
    for (struct list_node *i = list_last(l); back > 0; i = i->prev)
        ck_assert_int_eq(LIST_ITEM(i, struct item, link)->name, text[--back]);
    ck_assert(list_empty(l) == (n == 0));
    return text;
}

START_TEST(keeps_order)
{
    struct item a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
    struct list l, other;

    list_init(&l);
    list_init(&other);
    ck_assert_str_eq(names(&l), "");
    ck_assert(!list_first(&l) && !list_last(&l) && !list_pop(&l));
    ck_assert(!list_linked(&a.link));

    list_push_back(&l, &b.link);
    list_push_back(&l, &c.link);
    list_push_front(&l, &a.link);
    ck_assert_str_eq(names(&l), "abc");
    ck_assert(list_linked(&a.link));

    list_move_to_back(&l, &a.link);
    ck_assert_str_eq(names(&l), "bca");
    list_move_to_back(&l, &a.link);
    ck_assert_str_eq(names(&l), "bca");
    list_move_to_back(&other, &c.link);
    ck_assert_str_eq(names(&l), "ba");
    ck_assert_str_eq(names(&other), "c");

    list_remove(&b.link);
    list_remove(&b.link);
    ck_assert(!list_linked(&b.link));
    ck_assert_str_eq(names(&l), "a");
    ck_assert_ptr_eq(list_pop(&l), &a.link);
    ck_assert_str_eq(names(&l), "");
    list_move_to_back(&l, &b.link); /* from no list */
    ck_assert_str_eq(names(&l), "b");
}
END_TEST

START_TEST(walk_bears_removal)
{
    struct item items[6];
    struct list_node *next;
    struct list l;

    list_init(&l);
    for (int i = 0; i < 6; i++) {
        items[i] = (struct item){.name = (char)('0' + i)};
        list_push_back(&l, &items[i].link);
    }
    for (struct list_node *n = list_first(&l); n; n = next) {
        next = list_next(&l, n);
        if ((LIST_ITEM(n, struct item, link)->name - '0') % 2 == 0)
            list_remove(n);
    }
    ck_assert_str_eq(names(&l), "135");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("list");
    TCase *tc = tcase_create("list");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, keeps_order);
    tcase_add_test(tc, walk_bears_removal);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
