# What an HTML report holds beside its data, gathered in one C file: Chart.js with its licence (of
# the system's package, Debian's libjs-chart.js), our style sheet and script.
find_file(CHART_JS chart.min.js PATHS /usr/share/javascript/chart.js /usr/share/nodejs/chart.js/dist
  NO_CACHE)
find_file(CHART_LICENCE copyright PATHS /usr/share/doc/libjs-chart.js NO_CACHE)
if(NOT CHART_JS OR NOT CHART_LICENCE)
  message(FATAL_ERROR "Chart.js is missing: install libjs-chart.js, or give -DCHART_JS=chart.min.js and "
    "-DCHART_LICENCE=its-licence.txt")
endif()
set(HORNITO_REPORT_SOURCE ${CMAKE_BINARY_DIR}/generated/report_parts.c)
set(parts chart_js=${CHART_JS} chart_licence=${CHART_LICENCE}
  style=${CMAKE_SOURCE_DIR}/apps/report.css script=${CMAKE_SOURCE_DIR}/apps/report.js)
add_custom_command(OUTPUT ${HORNITO_REPORT_SOURCE}
  COMMAND ${CMAKE_COMMAND} "-Dparts=${parts}" -Dout=${HORNITO_REPORT_SOURCE}
          -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  DEPENDS ${CHART_JS} ${CHART_LICENCE} apps/report.css apps/report.js cmake/embed.cmake VERBATIM)
