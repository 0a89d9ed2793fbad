/* page_files.h - the files of the dashboard, and the description of what is answered over HTTP,
 * once for the assembler and once for C.
 *
 * Why      They are part of the program, byte for byte: nothing to install, nothing to generate.
 * Shape    FILE(symbol, path, content type); page_files.S has the bytes, page.c the table. */
#ifndef BROKERD_ADMIN_PAGE_FILES_H
#define BROKERD_ADMIN_PAGE_FILES_H

/* clang-format off */
#define PAGE_FILES \
    FILE(index_html, "brokerd/admin/page/index.html", "text/html; charset=utf-8") \
    FILE(style_css, "brokerd/admin/page/style.css", "text/css; charset=utf-8") \
    FILE(icon_svg, "brokerd/admin/page/icon.svg", "image/svg+xml") \
    FILE(app_js, "brokerd/admin/page/app.js", "text/javascript; charset=utf-8") \
    FILE(openapi_json, "brokerd/admin/page/openapi.json", "application/json") \
    FILE(broker_js, "brokerd/admin/page/broker.js", "text/javascript; charset=utf-8") \
    FILE(details_js, "brokerd/admin/page/details.js", "text/javascript; charset=utf-8") \
    FILE(dom_js, "brokerd/admin/page/dom.js", "text/javascript; charset=utf-8") \
    FILE(events_js, "brokerd/admin/page/events.js", "text/javascript; charset=utf-8") \
    FILE(json_js, "brokerd/admin/page/json.js", "text/javascript; charset=utf-8") \
    FILE(lists_js, "brokerd/admin/page/lists.js", "text/javascript; charset=utf-8") \
    FILE(model_js, "brokerd/admin/page/model.js", "text/javascript; charset=utf-8") \
    FILE(overview_js, "brokerd/admin/page/overview.js", "text/javascript; charset=utf-8") \
    FILE(publish_js, "brokerd/admin/page/publish.js", "text/javascript; charset=utf-8") \
    FILE(tap_js, "brokerd/admin/page/tap.js", "text/javascript; charset=utf-8")
/* clang-format on */

#endif
