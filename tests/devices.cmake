# test_ops on each Vulkan device that needs no GPU. A row is skipped, and says so, where its driver
# is not installed.
set(lavapipe /usr/share/vulkan/icd.d/lvp_icd.${CMAKE_SYSTEM_PROCESSOR}.json)
if(NOT EXISTS ${lavapipe})
  set(lavapipe /usr/share/vulkan/icd.d/lvp_icd.json)
endif()
set(swiftshader /usr/lib/chromium/vk_swiftshader_icd.json)

function(hornito_device_row name icd)
  if(EXISTS ${icd})
    add_test(NAME ${name} COMMAND ${ARGN})
    set_tests_properties(${name} PROPERTIES ENVIRONMENT "VK_ICD_FILENAMES=${icd}" LABELS "device;slow")
  else()
    message(STATUS "test ${name} left out: no ${icd}")
  endif()
endfunction()

hornito_device_row(ops.lavapipe ${lavapipe} test_ops vulkan -n 12)
hornito_device_row(ops.lavapipe_phone ${lavapipe} test_ops "vulkan phone" -n 12)
hornito_device_row(ops.swiftshader ${swiftshader} test_ops vulkan -n 12)
