# cmake --install: library, headers, command, pkg-config file and CMake package.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS hornito EXPORT hornito-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/hornito DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(TARGET hornito-cli)
  install(TARGETS hornito-cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
