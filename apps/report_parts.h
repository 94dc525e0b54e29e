// Files that the build embeds (cmake/report.cmake), each ending in a zero.
#ifndef HORNITO_REPORT_PARTS_H
#define HORNITO_REPORT_PARTS_H

extern const unsigned char report_chart_js[], report_chart_licence[], report_style[],
    report_script[];

#endif
